"""Networks of other projects that video distances are taken on, each built here and filled from its published weights."""
