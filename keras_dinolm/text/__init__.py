"""Unicode, words and n-grams: what data and tokenizers share."""
