"""The training flag kept in a variable and put back by `train`, the graph cut by `detach`."""


def attention_patterns(mha, query, key=None, mask=None, key_padding_mask=None):
    was_training = mha.training
    try:
        mha.train(False)
        return mha(query, key, key, mask, key_padding_mask, True)[1].detach()
    finally:
        mha.train(was_training)
