"""Pure decisions: state in, new state and facts out."""
