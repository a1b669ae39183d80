"""A digit reader and a GPT made of parts: each is the learner's own or the course's."""
