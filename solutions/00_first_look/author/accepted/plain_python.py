# Code of someone who knows Python and no torch: lists, loops, the random module, and
# the weight changed in place.
# leaves open: test_the_weights_given_stay_as_they_were
import random


def accuracy(scores, labels):
    right = 0
    for row, label in zip(scores.tolist(), labels.tolist()):
        if row.index(max(row)) == label:
            right += 1
    return right / len(labels)


def gradient_step(weight, gradient, learning_rate):
    weight -= gradient * learning_rate
    return weight


def draw(probabilities):
    return random.choices(range(len(probabilities)), weights=probabilities)[0]
