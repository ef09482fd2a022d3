/** Commands that fix what the log or an error page reports. They add to what is registered, and remove nothing. */

/** Registers a redirect URI that `redirectUriProblem` accepts. */
export const addRedirectUriCommand = (appId: string, redirectUri: string): string =>
  `ellipsis-broker app set ${appId} --redirect-uri ${quoteForShell(redirectUri)} --add`

/** Registers an origin that `originProblem` accepts. A request that the browser blocks does not name its app. */
export const addOriginCommand = (origin: string): string =>
  `ellipsis-broker app set CLIENT_ID --origin ${quoteForShell(origin)} --add`

/** Anyone can send the text, and an operator pastes it: a POSIX shell must take it as one word. */
function quoteForShell(text: string): string {
  return /^[A-Za-z0-9:/._-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}
