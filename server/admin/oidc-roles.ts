import type { Admin } from '../../db/store.ts'
import { isRecord } from '../oidc/provider.ts'
import type { Claims } from '../oidc/provider.ts'

/** Which values of which claim give which role. */
export interface RoleMapping {
  /** A name, or a path such as `realm_access.roles`. */
  roleClaim: string
  adminValues: string[]
  viewerValues: string[]
}

/**
 * The values of a claim. A string, number or boolean is one value, as Keycloak sends a mapper that is not multivalued:
 * it is never split, so nobody gets a role by a part of a name. An object has none.
 * @param path a key of the claims, or keys separated by dots; a key may itself contain dots, and wins
 * @returns `undefined`: there is no such claim
 */
export function readClaim(claims: Claims, path: string): string[] | undefined {
  if (Object.hasOwn(claims, path)) return valuesOf(claims[path])
  for (let dot = path.indexOf('.'); dot >= 0; dot = path.indexOf('.', dot + 1)) {
    const key = path.slice(0, dot)
    const inner = Object.hasOwn(claims, key) ? claims[key] : undefined
    const found = isRecord(inner) ? readClaim(inner, path.slice(dot + 1)) : undefined
    if (found) return found
  }
  return undefined
}

/** The role that the claims give. `null`: none, so this person has no access. */
export function roleOf(
  claims: Claims,
  { roleClaim, adminValues, viewerValues }: RoleMapping,
): Admin['role'] | null {
  const values = readClaim(claims, roleClaim) ?? []
  if (values.some((value) => adminValues.includes(value))) return 'admin'
  return values.some((value) => viewerValues.includes(value)) ? 'viewer' : null
}

const valuesOf = (value: unknown): string[] =>
  [value]
    .flat()
    .flatMap((one) => (['string', 'number', 'boolean'].includes(typeof one) ? [String(one)] : []))
