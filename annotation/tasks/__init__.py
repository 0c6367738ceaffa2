"""What annotators are asked to judge: routing of candidates, windows, and the proxies they play."""
