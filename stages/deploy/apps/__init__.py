"""What a shipped student is good for: searching a folder of pictures, sorting out pictures, answering over HTTP."""
