"""Characters in a sorted list, whose index is the id."""


class CharTokenizer:
    def __init__(self, text):
        self.itos = sorted(set(text))
        self.stoi = {character: self.itos.index(character) for character in self.itos}
        self.vocab_size = len(self.itos)
        if self.vocab_size == 0:
            raise ValueError("no characters")

    def encode(self, text):
        unknown = [(i, character) for i, character in enumerate(text) if character not in self.itos]
        if unknown:
            raise ValueError(f"(position, character) of what is unknown: {unknown}")
        return [self.stoi[character] for character in text]

    def decode(self, ids):
        characters = []
        for i in map(int, ids):
            if i < 0 or i >= len(self.itos):
                raise ValueError(f"no character has the id {i}")
            characters.append(self.itos[i])
        return "".join(characters)
