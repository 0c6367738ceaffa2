// Stores the name of the reviewer in this browser for the next visit.
export default function ({ data }) {
  const age = data ? 31536000 : 0;
  document.cookie = `lpse_reviewer=${encodeURIComponent(data || "")}; path=/; max-age=${age}; samesite=strict`;
}
