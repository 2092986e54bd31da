"""The soak: the whole daemon for minutes or hours, with everything around it going wrong on a schedule that a seed fixes."""
