pub fn trials() -> Vec<dockster_tests::Trial> { vec![] }
