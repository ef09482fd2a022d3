/** Parameters of a form or a query; a repeated parameter is an array. */
export type Parameters = Record<string, string | string[] | undefined>

/**
 * Removes the parameters without a value: they count as omitted (RFC 6749 3.1, 3.2). A parameter that is sent
 * once with a value and again without one has that value.
 */
export function omitEmpty<Value>(parameters: Record<string, Value>): Record<string, Value> {
  if (!Object.values(parameters).some(hasEmpty)) return parameters
  const pairs = Object.entries(parameters).map(([name, value]) => [name, omitEmptyValues(value)])
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined)) as typeof parameters
}

const hasEmpty = (value: unknown): boolean =>
  value === '' || (Array.isArray(value) && value.includes(''))

function omitEmptyValues(value: unknown): unknown {
  if (!hasEmpty(value)) return value
  const rest = [value].flat().filter((each) => each !== '')
  return rest.length > 1 ? rest : rest[0]
}
