/** Who does something: `cli`, or `admin:<e-mail>` and the network address that they sit at. */
export type By = string | { actor: string; address: string }

/** That, as an event's fields. */
export const who = (by: By): { actor: string; address?: string } =>
  typeof by === 'string' ? { actor: by } : by
