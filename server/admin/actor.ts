/** Who does something: `cli`, or `admin:<e-mail>` with their network address. */
export type Actor = string | { actor: string; address: string }

/** The fields of an event that name the actor. */
export const actorFields = (actor: Actor): { actor: string; address?: string } =>
  typeof actor === 'string' ? { actor } : actor
