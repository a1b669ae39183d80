"""The parts of the learner's own GPT: which kata each comes from, what it is, and the
exercises that it is made of.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """What one kata gives to the GPT and its digit reader.

    Attributes:
        kata: the name of its folder.
        place: the row of the picture that it is in.
        name: in a word or two.
        gives: what it is there, after "Your GPT gets ".
        exercises: those that run there. The part is the learner's when the points of
            all of them are.
    """

    kata: str
    place: str
    name: str
    gives: str
    exercises: tuple[str, ...]


PARTS = (
    Part("00_first_look", "reader", "step",
         "its reader's score and step, and the first letter that it writes",
         ("accuracy", "gradient_step", "draw")),
    Part("01_tensors", "text", "counts",
         "a baseline to beat: guesses from the count of each character",
         ("count_to", "to_float")),
    Part("02_tensor_reshaping", "reader", "rows",
         "its pictures as rows, and the batch of one to write from",
         ("flatten_samples", "add_batch_dim")),
    Part("03_tensor_indexing_slicing", "reader", "split",
         "its training pictures, and its loss on all text",
         ("first_rows", "sliding_windows", "pick_per_row")),
    Part("04_tensor_math_operations", "reader", "pixels",
         "its pixels, brought to mean 0 and standard deviation 1",
         ("standardize", "summary_stats")),
    Part("05_tensor_gradients", "reader", "gradients",
         "the gradients that train its reader",
         ("partial_derivatives",)),
    Part("06_linear_regression", "training", "step",
         "the step that trains it: forward, loss, backward, update",
         ("train",)),
    Part("09_data_splitting_loaders", "reader", "batches",
         "its reader's training batches",
         ("MiniLoader.__len__", "MiniLoader.__iter__")),
    Part("10_fashionmnist_nn", "reader", "network",
         "its reader: the network, the test, the worst mistakes",
         ("FashionMNISTModel", "evaluate", "misclassified")),
    Part("11_embeddings", "input", "table", "its table with a row per character",
         ("Embedding",)),
    Part("13_normalization", "output", "norms",
         "its last norm, and the norms of its first block",
         ("LayerNorm",)),
    Part("15_scaled_dot_product_attention", "block 1", "attention",
         "the attention of its first block",
         ("causal_mask", "scaled_dot_product_attention")),
    Part("16_multi_head_attention", "block 2", "heads", "the heads of its second block",
         ("split_heads", "merge_heads", "prepare_mask", "MultiHeadAttention.__init__",
          "MultiHeadAttention.forward")),
    Part("17_transformer_blocks", "block 2", "block", "its second block",
         ("FeedForward", "TransformerEncoderBlock.__init__",
          "TransformerEncoderBlock.forward")),
    Part("18_positional_encoding", "input", "positions", "its sense of position",
         ("LearnedPositionalEmbedding",)),
    Part("19_modules_and_parameters", "training", "start", "its starting weights",
         ("init_weights",)),
    Part("20_losses", "output", "loss", "its loss",
         ("cross_entropy",)),
    Part("21_optimizers_and_schedules", "training", "optimizer",
         "its optimizer, with clipping and a schedule",
         ("AdamW", "clip_grad_norm", "warmup_cosine")),
    Part("23_tokenizers", "text", "tokenizer", "its tokenizer",
         ("CharTokenizer",)),
    Part("24_token_batches", "text", "windows", "its windows of training text",
         ("random_batch",)),
    Part("25_causal_self_attention", "block 3", "attention",
         "the attention of its third block",
         ("causal_mask", "flash_attention", "CausalSelfAttention.__init__",
          "CausalSelfAttention.forward")),
    Part("26_gpt_model", "block 3", "block and whole",
         "its third block, and the model around all parts",
         ("gelu_tanh", "MLP", "Block", "GPT.__init__", "GPT.forward")),
    Part("27_generation", "writing", "sampling",
         "its writing: the draw of a character, and the loop around it",
         ("sample_next", "next_logits", "generate")),
)  # fmt: skip
PLACES = (
    "reader",
    "text",
    "input",
    "block 1",
    "block 2",
    "block 3",
    "output",
    "training",
    "writing",
)
BY_KATA = {part.kata: part for part in PARTS}
EXERCISES = sum(len(part.exercises) for part in PARTS)
