const KEY = 'outcry.client';

/** The client identifier of this tab and user. A session belongs to its user, so each user of the tab has an identifier. */
export function clientId(user) {
  const [id, owner] = JSON.parse(sessionStorage.getItem(KEY) ?? '[]');
  return owner === user ? id : newClientId(user);
}

/** Makes a new one: a tab that was duplicated has the identifier of its original. */
export function newClientId(user) {
  const random = crypto.getRandomValues(new Uint32Array(2));
  const id = `page-${[...random].map((n) => n.toString(36)).join('')}`;
  sessionStorage.setItem(KEY, JSON.stringify([id, user]));
  return id;
}
