import type { FastifyReply } from 'fastify'
import { html, sendPage } from '../page.ts'
import type { Client } from '../stand-in.ts'
import type { User } from '../users.ts'

/** Asks which user to log in. `url` is the page's own URL, which its form posts to. */
export function sendLoginPage(reply: FastifyReply, url: string, users: User[]): FastifyReply {
  const buttons = users.map(
    ({ username, name }) => html`
      <button name="user" value="${username}">Log in as ${name} (${username})</button>
    `,
  )
  const content = html`
    <p>These users are fictional. Pick one; no password is needed.</p>
    <form method="post" action="${url}">${buttons}</form>
  `
  return sendPage(reply, 'Log in', content)
}

/** Asks whether the client may access the account. */
export function sendConsentPage(
  reply: FastifyReply,
  url: string,
  authorization: { user: User; client: Client; returnTo: { redirectUri: string } },
): FastifyReply {
  const { user, client, returnTo } = authorization
  const name = client.name ?? client.id
  const { protocol, host } = new URL(returnTo.redirectUri)
  const content = html`
    <p>
      You are logged in as ${user.name} (${user.username}). <strong>${name}</strong> asks for full
      access to your account, except its security settings (scope <code>projects</code>).
    </p>
    <p>You return to ${protocol}//${host} in either case.</p>
    <form method="post" action="${url}">
      <button class="first" name="decision" value="allow">Allow</button>
      <button name="decision" value="refuse">Refuse</button>
      <button name="decision" value="log-out">Log in as someone else</button>
    </form>
  `
  return sendPage(reply, `Allow ${name} to use your drive?`, content)
}

/** Shows an error that must not be sent to the redirect URI (RFC 6749 4.1.2.1). */
export function sendErrorPage(reply: FastifyReply, message: string): FastifyReply {
  const content = html`
    <p>${message}</p>
    <p>
      Ellipsis Drive would not accept the request of the app that sent you here, and can't return
      you to the app. If it is your app, compare its request with its registration.
    </p>
  `
  return sendPage(reply.code(400), 'This request is not valid', content)
}
