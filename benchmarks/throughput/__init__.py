"""Images a second of SE networks and their peers, to train and to infer, with the price of SE."""
