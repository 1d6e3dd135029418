"""Classifiers of sound: features inside the graph, a score for each label."""
