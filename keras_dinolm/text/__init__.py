"""Unicode, words, sentences and n-grams: what data and tokenizers share."""

__all__: list[str] = []
