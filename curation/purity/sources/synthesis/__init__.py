"""Sources that are computed, not recorded: sound effects, music, singing and speech, each repeatable from its path."""
