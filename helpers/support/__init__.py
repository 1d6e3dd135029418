"""Small support that knows nothing of models: files, errors, tables, numbers from configs, cores."""
