import type { FastifyReply } from 'fastify'
import { html } from './html.ts'
import { sendPage } from './layout.ts'
import type { Client } from './stand-in.ts'
import type { User } from './users.ts'

/** Asks who this is. `address`: where the form goes, the page's own. */
export function sendLoginPage(reply: FastifyReply, address: string, users: User[]): FastifyReply {
  const buttons = users.map(
    ({ username, name }) => html`
      <button name="user" value="${username}">Log in as ${name} (${username})</button>
    `,
  )
  const content = html`
    <p>These people are made up. Pick one; no password is needed.</p>
    <form method="post" action="${address}">${buttons}</form>
  `
  return sendPage(reply, 'Log in', content)
}

/** Asks whether the client may have access. */
export function sendConsentPage(
  reply: FastifyReply,
  address: string,
  asked: { user: User; client: Client; returnTo: { redirectUri: string } },
): FastifyReply {
  const { user, client, returnTo } = asked
  const name = client.name ?? client.id
  const { protocol, host } = new URL(returnTo.redirectUri)
  const content = html`
    <p>
      You are logged in as ${user.name} (${user.username}). <strong>${name}</strong> asks to do
      everything in your account for you, but for its security settings (scope
      <code>projects</code>).
    </p>
    <p>Either way you go on to ${protocol}//${host}.</p>
    <form method="post" action="${address}">
      <button class="first" name="decision" value="allow">Allow</button>
      <button name="decision" value="refuse">Refuse</button>
      <button name="decision" value="log-out">Log in as someone else</button>
    </form>
  `
  return sendPage(reply, `Allow ${name} to use your drive?`, content)
}

/** Says what is wrong with a request that can't be answered at a redirect URI. */
export function sendErrorPage(reply: FastifyReply, message: string): FastifyReply {
  const content = html`
    <p>${message}</p>
    <p>
      The program that sent you here asked in a way that Ellipsis Drive would not accept, so you
      can't be sent back to it. If it is yours, compare what it sends with what is registered.
    </p>
  `
  return sendPage(reply.code(400), 'This request is not valid', content)
}
