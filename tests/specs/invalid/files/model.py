"""A model of a user's, asked for by name."""


def predict(crystal):
    return crystal.volume / len(crystal)


def predict_two(crystal, temperature):
    return temperature * crystal.volume
