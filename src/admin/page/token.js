// The token of the admin listener. This tab keeps it, until it is closed; no cookie has it, so
// that no other page can have the browser send it.

const NAME = "pgvalet-token";

export const has = () => sessionStorage.getItem(NAME) !== null;

export const forget = () => sessionStorage.removeItem(NAME);

export const keep = (token) => sessionStorage.setItem(NAME, token);

/// The headers of a request.
export function authorization() {
  const token = sessionStorage.getItem(NAME);
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}
