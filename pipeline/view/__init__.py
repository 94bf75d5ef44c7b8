"""What people look at: a neuron and tables in the terminal, every neuron in the browser.

The owner of starlette and uvicorn: `serve.py` is the web application, `listen.py` the server that
it runs on, `live.py` a text that a person types, `export.py` the same pages without a server.
`site/` holds the pages: plain ES modules that read a dataset's Parquet files by byte ranges.
"""
