"""Measures that know no model: means with intervals, likeness of sounds, Opus for comparison."""
