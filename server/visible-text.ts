/** Names and other text from people, as it is stored and shown: what scripts need stays, invisible tricks go. */

/** Scripts whose words have joiners: letters connect, or consonants combine. */
const JOINING_SCRIPTS = [
  ...['Arabic', 'Syriac', 'Mongolian', 'Nko', 'Mandaic', 'Adlam', 'Hanifi_Rohingya', 'Sogdian'],
  ...['Devanagari', 'Bengali', 'Gurmukhi', 'Gujarati', 'Oriya', 'Tamil', 'Telugu', 'Kannada'],
  ...['Malayalam', 'Sinhala', 'Khmer', 'Myanmar', 'Tibetan', 'Balinese', 'Javanese', 'Chakma'],
  ...['Grantha', 'Newa', 'Tirhuta', 'Kaithi', 'Sharada', 'Modi', 'Meetei_Mayek', 'Phags_Pa'],
]
const joining = JOINING_SCRIPTS.map((name) => String.raw`\p{scx=${name}}`).join('')
const letter = `[[\\p{L}\\p{M}]&&[${joining}]]`
/** Between letters; and at the end of a word after a mark that kills the vowel, as in Malayalam chillus. */
const joiner = `(?<=${letter})[\\u200c\\u200d](?=${letter})|(?<=[\\p{M}&&[${joining}]])\\u200d`
const emojiJoiner = String.raw`(?<=\p{ExtPict}\ufe0f?|\p{Emoji_Modifier})\u200d(?=\p{ExtPict})`
/** Emoji or text style after a pictogram and in keycaps; forms of ideographs (Japanese names) and of letters. */
const variation = String.raw`(?<=\p{ExtPict})[\ufe0e\ufe0f]|(?<=[0-9#*])\ufe0f(?=\u20e3)|(?<=[\p{sc=Han}\p{sc=Myanmar}\p{sc=Phags_Pa}])[\ufe00-\ufe0f\u{e0100}-\u{e01ef}]|(?<=[\p{L}&&\p{sc=Mongolian}])[\u180b-\u180d\u180f]`
/** Flags of England, Scotland and Wales are spelled with tags. */
const flag = String.raw`\u{1f3f4}(?:\u{e0067}\u{e0062}(?:\u{e0065}\u{e006e}\u{e0067}|\u{e0073}\u{e0063}\u{e0074}|\u{e0077}\u{e006c}\u{e0073}))\u{e007f}`
/** Controls, bidirectional controls, and what is never drawn, such as zero-width spaces, soft hyphens and tags. */
const invisible = String.raw`[\p{Cc}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\u2800\ufff9-\ufffb]`

const kept = `(${joiner}|${emojiJoiner}|${variation}|${flag})`
const matcher = new RegExp(`${kept}|${invisible}`, 'gv')

/** Replaces each invisible character, except where a script or an emoji needs it. */
export const replaceInvisible = (text: string, replacement: string): string =>
  text.replace(matcher, (_match, needed?: string) => needed ?? replacement)

/**
 * Text without invisible characters and changes of direction, trimmed; maybe empty. Joiners in words and emoji
 * stay (Persian, Indic scripts), and so do variation selectors of ideographs and emoji.
 */
export function visibleText(text: string): string {
  const visible = replaceInvisible(text, '').trim()
  // What follows a removed character may have needed it.
  return visible === text ? text : visibleText(visible)
}

/** The first characters of a `visibleText`; never half of one. */
export const visibleStart = (text: string, maxLengthChars: number): string =>
  visibleText([...visibleText(text)].slice(0, maxLengthChars).join(''))

/** A letter or sign that keyboards compose in several ways, in one form; ends and case don't count. */
export const normalizeEmail = (address: string): string =>
  address.normalize('NFC').trim().toLowerCase()
