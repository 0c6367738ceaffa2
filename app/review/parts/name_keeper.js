// Keeps the reviewer's name in this browser, so that it is there on the next visit.
export default function ({ data }) {
  const age = data ? 31536000 : 0;
  document.cookie = `lpse_reviewer=${encodeURIComponent(data || "")}; path=/; max-age=${age}; samesite=strict`;
}
