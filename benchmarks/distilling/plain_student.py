"""A student in plain PyTorch that regresses the feature of a text."""

import numpy as np
import torch

from keras_dinolm import files

LONGEST = 64
# Texts that are encoded at a time.
BATCH = 32


class PlainStudent(torch.nn.Module):
    """Embeddings, perhaps blocks, their mean, and a linear layer.

    Args:
        tokenizer: tokenizer of transformers, the teacher's.
        layers: int. Number of Transformer blocks.
        width: int. Features of a token.
        dim: int. Features of the teacher.
    """

    def __init__(self, tokenizer, layers, width, dim):
        super().__init__()
        self.tokenizer = tokenizer
        self.embedding = torch.nn.Embedding(len(tokenizer), width)
        torch.nn.init.normal_(self.embedding.weight, std=0.05)
        self.blocks = None
        if layers:
            self.positions = torch.nn.Parameter(
                0.05 * torch.randn(LONGEST, width)
            )
            block = torch.nn.TransformerEncoderLayer(
                width,
                width // 64,
                4 * width,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            self.blocks = torch.nn.TransformerEncoder(
                block, layers, enable_nested_tensor=False
            )
        self.head = torch.nn.Linear(width, dim)

    def tokenize(self, texts):
        """Lists of ids; a text without any has that of `[UNK]`."""
        rows = self.tokenizer(
            list(texts),
            add_special_tokens=False,
            truncation=True,
            max_length=LONGEST,
        )["input_ids"]
        return [row or [self.tokenizer.unk_token_id] for row in rows]

    def tokens(self, rows):
        """Features of tokens, and which of them are no padding."""
        length = max(map(len, rows))
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        mask = torch.zeros(len(rows), length, dtype=torch.bool)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = True
        x = self.embedding(ids)
        if self.blocks is not None:
            x = x + self.positions[:length]
            x = self.blocks(x, src_key_padding_mask=~mask)
        return x, mask

    def forward(self, rows):
        x, mask = self.tokens(rows)
        weights = mask[:, :, None] / mask.sum(1)[:, None, None]
        return self.head((x * weights).sum(1))

    def loss(self, rows, targets):
        """One minus the cosine of what is predicted."""
        targets = torch.from_numpy(np.asarray(targets, "float32"))
        return 1 - torch.cosine_similarity(self(rows), targets).mean()

    @torch.inference_mode()
    def encode(self, texts):
        """The predicted features, of texts of similar length at a time."""
        rows = self.tokenize(texts)
        order = np.argsort([len(row) for row in rows], kind="stable")
        features = np.zeros((len(rows), self.head.out_features), "float32")
        for start in range(0, len(rows), BATCH):
            batch = order[start : start + BATCH]
            features[batch] = self([rows[i] for i in batch]).numpy()
        return features

    @torch.inference_mode()
    def encode_words(self, sentences):
        """Mean of each word's tokens in the last block."""
        found = []
        for words in sentences:
            rows = self.tokenize(words)
            owner = np.repeat(range(len(words)), list(map(len, rows)))
            flat = [i for row in rows for i in row][:LONGEST]
            owner = owner[: len(flat)]
            x, _ = self.tokens([flat])
            sums = np.zeros((len(words), x.shape[-1]), "float32")
            np.add.at(sums, owner, x[0].numpy())
            counts = np.bincount(owner, minlength=len(words))
            found.append(sums / np.maximum(counts, 1)[:, None])
        return found

    def save(self, folder):
        """Writes weights and tokenizer, whose size is reported."""
        arrays = {k: v.numpy() for k, v in self.state_dict().items()}
        with files.write_file(folder / "weights.npz") as file:
            np.savez(file, **arrays)
        files.write_text(
            folder / "tokenizer.json",
            self.tokenizer.backend_tokenizer.to_str(),
        )
