"""The script that the server runs, in a folder of its own: Streamlit takes a folder `pages` beside it for its own."""
