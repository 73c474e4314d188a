//! Makes the book from its pages, and proves them.
//!
//! A page is Markdown with directives, transcripts and boxes; the book's appendix "How
//! this book is made" describes them. In the order in which a page meets the files:
//!
//! - [`tree`]: what is read; [`pieces`]: a page cut into prose, blocks, quotes, directives
//! - [`prose`], [`glossary`], [`manual`]: links of terms and man pages
//! - [`anchors`], [`exercise`], [`figure`], [`patch`], [`quote`], [`rung`], [`transcript`]:
//!   what a directive or a block becomes
//! - [`expand`]: a page as mdBook gets it, and what is wrong with it
//! - [`make`], [`listing`], [`serve`]: the finished book
//! - [`check`], [`numbers`]: what is true of all pages

#![forbid(unsafe_code)]

pub mod anchors;
pub mod attributes;
pub mod check;
pub mod exercise;
pub mod expand;
pub mod figure;
pub mod glossary;
pub mod html;
pub mod listing;
pub mod make;
pub mod manual;
pub mod numbers;
pub mod patch;
pub mod pieces;
pub mod prose;
pub mod quote;
pub mod rung;
pub mod serve;
pub mod transcript;
pub mod tree;
