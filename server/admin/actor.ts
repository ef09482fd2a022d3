/** Who does something: `cli`, or `admin:<e-mail>` and the network address that they sit at. */
export type Actor = string | { actor: string; address: string }

/** That, as an event's fields. */
export const actorFields = (by: Actor): { actor: string; address?: string } =>
  typeof by === 'string' ? { actor: by } : by
