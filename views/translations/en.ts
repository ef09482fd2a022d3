/**
 * The texts of the pages that users see, in English: the source of all translations.
 *
 * `{name}` is a value, `*…*` is emphasized, `` `…` `` is code, and `[…]({name})` is a link to that value
 * (views/translate.ts). A text with a number has two forms: for one, and for all others. The text of an error is where it is thrown.
 */
export const en = {
  'consent.title': 'Connect {app}',
  'consent.identity': '{app} asks who you are at Ellipsis Drive',
  'consent.use': '{app} asks to use your Ellipsis Drive',
  'consent.view': '{app} asks to view your Ellipsis Drive',
  'consent.lasts': 'Access lasts until you, the app or the operator of this broker revokes it.',
  'consent.lastsAtMost':
    'Access lasts until you, the app or the operator of this broker revokes it, but at most {duration}.',
  'consent.revoke': 'You can revoke it at any time: [Your connections]({url}).',
  'consent.returns': 'Afterwards you return to *{place}*.',
  'consent.appAt': 'the app at {scheme}',
  'consent.fragment':
    '*Warning:* this app receives its access token in the URL of its page, which your browser keeps in its history.',
  'consent.continue': 'Continue to Ellipsis Drive',
  'consent.deny': 'Deny',
  'consent.unknownApp': 'If you did not come from this app, or do not know it, select Deny.',
  'consent.policyChanged':
    'What this app may do has changed since this page was opened. Read it again, and decide.',

  'scope.intro': 'If you continue, you sign in at Ellipsis Drive. On your behalf, this app:',
  'scope.name': 'learns your name at Ellipsis Drive',
  'scope.recognize': 'can recognize your account, but does not learn its name',
  'scope.nothing': 'cannot view, add, change or delete your maps, layers and files',
  'scope.view': 'can view your maps, layers and files',
  'scope.change': 'can add, change and delete them',
  'scope.noChange': 'cannot add, change or delete anything',
  'scope.viewParts': 'can view parts of your Ellipsis Drive',
  'scope.noView': 'cannot view your maps, layers and files',
  'scope.someChanges': 'can make some changes, which may add, change or delete data',
  'scope.rules': 'can send only these requests to Ellipsis Drive',
  'scope.rulesHint':
    'GET reads. The other methods may change something; a `*` alone is any method. In a path, `*` is any one part, and `**` is everything below.',
  'scope.offline': 'can do this at any time, also when you are not using it',
  'scope.proxy': 'can reach your drive only through this broker',
  'scope.noSecurity': 'cannot change your password or other security settings',

  'device.title': 'Connect a device',
  'device.identity': '{app} asks who you are at Ellipsis Drive, on another device',
  'device.use': '{app} asks to use your Ellipsis Drive, on another device',
  'device.view': '{app} asks to view your Ellipsis Drive, on another device',
  'device.onlyYou':
    '*Continue only if you started this yourself* and your device shows the code `{code}`. If someone sent you the code or a link, select Deny: that person could get access to your Ellipsis Drive.',
  'device.requested': 'Requested {time}, from the IP address {address}: {device}.',
  'device.justNow': 'just now',
  'device.check':
    'Check that your device shows exactly this code. If it shows a different code or none, close this page.',
  'device.enter': 'Enter the code that your device shows.',
  'device.code': 'Code',
  'device.continue': 'Continue',
  'device.sent':
    'If someone sent you this code or a link to this page, close the page: that person could get access to your Ellipsis Drive.',
  'device.wrongCode':
    'This code is wrong or has expired. Check it, or get a new one on the device.',

  'connected.title': 'You are connected',
  'connected.account': 'The Ellipsis Drive account *{username}* is connected to *{app}*.',
  'connected.yours': 'Your Ellipsis Drive account is connected to *{app}*.',
  'connected.device':
    'Go back to your device. It continues automatically within a few seconds. You can close this window.',
  'connected.manage':
    'See which apps are connected, and disconnect them: [Your connections]({url}).',
  'refused.title': 'Nothing was connected',
  'refused.denied': 'You denied access, so *{app}* cannot use your Ellipsis Drive.',
  'refused.device': 'Your device shows this too. You can close this window.',
  'final.back': 'Back to {app}',
  'final.alsoClose': 'You can also close this window.',
  'final.close': 'You can close this window.',

  'account.title': 'Which account do you want to connect?',
  'account.question':
    '*{app}* asks for the Ellipsis Drive account *{expected}*. You came back with *{actual}*. Nothing is connected yet.',
  'account.signOut':
    'To use another account, first [sign out at Ellipsis Drive]({url}). Otherwise Ellipsis Drive may choose {actual} again.',
  'account.signOutInTab':
    'To use another account, first sign out at Ellipsis Drive in another tab. Otherwise Ellipsis Drive may choose {actual} again.',
  'account.restart': 'Use another account',
  'account.continue': 'Continue as {actual}',
  'account.neither': 'To connect neither, close this window.',

  'error.title': 'Something went wrong',
  'error.sent': '{app} sent this address:',
  'error.repeats':
    'If this keeps happening, contact the operator of this broker and quote `{code}`, `{request}`.',
  'error.repeatsContact':
    'If this keeps happening, contact the operator of this broker ({contact}) and quote `{code}`, `{request}`.',
  'error.incompleteLink':
    'The link that brought you here does not work. Go back to the app and try again. If it happens again, tell the developer of the app.',
  'error.unreadable':
    'The broker could not read this request. Go back, reload the page and try again.',
  'error.tooMany': 'There were too many failed attempts. Wait {duration}, then try again.',
  'error.busy': 'Ellipsis Drive or this broker is busy. Wait {duration}, then try again.',
  'error.broken': 'This broker has a problem of its own. Go back and try again later.',
  'form.expired': 'This form had expired, so nothing was changed. Check it and send it again.',
  'missing.title': 'Page not found',
  'missing.text': 'There is no page at this address. If an app sent you here, go back to the app.',
  'onlyForms.title': 'This address has no page',
  'onlyForms.text':
    'Only forms and apps use this address. Go back to the page or the app that you came from.',

  'operator.name': 'This broker is run by {name}.',
  'operator.questions': 'Questions?',
  'operator.privacy': 'Privacy policy',

  'home.text':
    'Apps come here to connect with Ellipsis Drive for you. If an app sent you, go back to it and connect there.',
  'home.me':
    'See which apps use your Ellipsis Drive, and disconnect them: [Your connections]({url})',
  'home.admin': 'For those who run this broker: [Dashboard]({url})',
  'home.docs': 'For developers of apps: [API reference]({url})',

  'me.title': 'Your connections',
  'me.intro':
    'See which apps use your Ellipsis Drive through this broker. Disconnect them, or download or erase what is stored about you.',
  'me.how':
    'You sign in at Ellipsis Drive, so that this broker knows whose connections to show. This connects nothing.',
  'me.expired': 'Your session had ended, so nothing was changed. Sign in again.',
  'me.denied': 'You denied access, so this broker does not know whose connections to show.',
  'me.failed': 'The sign-in was not completed. Try again in a few minutes.',
  'me.signedIn': 'Signed in as *{name}*. After 15 minutes you are signed out.',
  'me.thisBrowser':
    'Ellipsis Drive does not tell this broker whose account it is. So this page shows only what was connected in this browser.',
  'me.signOut': 'Sign out',
  'me.none': 'No app uses your Ellipsis Drive through this broker.',
  'me.former': 'Records of earlier connections are still stored, for at most 30 days.',
  'me.needsReconnect':
    'Ellipsis Drive no longer accepts this connection, so its apps get no access. Signing in here does not change that: to use an app again, reconnect it.',
  'me.reconnect': 'Reconnect {app}',
  'me.removedApp': 'Removed app',
  'me.offline': '*Runs without you:* it can use your Ellipsis Drive at any time.',
  'me.here': 'this browser',
  'me.server': 'The app’s server',
  'me.anyDevice': 'A device',
  'me.unknownBrowser': 'Unknown browser',
  'me.onSystem': '{browser} on {system}',
  'me.connected': 'Connected {time}',
  'me.connectedFrom': 'Connected {time}, from the IP address {address}',
  'me.used': 'Last used {time}',
  'me.unused': 'Not used yet',
  'me.ends': 'Access ends {time}, unless the app renews it',
  'me.links': 'Links',
  'me.linksAbout': 'Anyone who has such a URL can view that part of your drive.',
  'me.linkEnds': 'Expires {time}',
  'me.disconnect': 'Disconnect',
  'me.disconnectName': 'Disconnect {name}',
  'me.revoke': 'Revoke',
  'me.revokeName': 'Revoke the link {name}',
  'me.everything': 'Everything',
  'me.disconnectAll': 'Disconnect everything',
  'me.download': 'Download what is stored (JSON)',
  'me.erase': 'Erase what is stored',
  'me.tokens':
    'Access tokens that apps already have cannot be revoked at Ellipsis Drive. They end by themselves, the last one {time}.',
  'me.cancel': 'Cancel',
  'me.askDevice': 'Disconnect {device}?',
  'me.askDeviceText':
    '{app} gets no more access on this device. Other devices and apps keep working.',
  'me.askApp': 'Disconnect {app}?',
  'me.askAppText':
    '{app} gets no more access to your Ellipsis Drive on any device, and its links stop working. Other apps keep working.',
  'me.askLink': 'Revoke this link?',
  'me.askLinkText': 'The URL of {link} stops working.',
  'me.askAll': 'Disconnect everything?',
  'me.askAllText':
    'All apps lose access on all devices, all links stop working, and the tokens that this broker stores are deleted.',
  'me.askErase': 'Erase what is stored about you?',
  'me.askEraseText':
    'All apps lose access. Your name, your account at Ellipsis Drive, the names of your devices, your links and IP addresses are deleted from this broker. This cannot be undone.',
  'me.askEraseKept':
    'A random ID, the names of the apps, times and what admins did are kept for a while, without your name. Earlier backups contain everything until they are deleted.',
  'me.again': 'You can connect again later.',
  'me.doneDevice': 'The device is disconnected.',
  'me.doneApp': 'The app is disconnected.',
  'me.doneLink': 'The link is revoked.',
  'me.doneAll': 'Everything is disconnected.',
  'me.doneErase': 'What was stored about you is erased.',
  'me.doneAlready': 'That was disconnected already.',
  'me.doneSignOut': 'You are signed out here. At Ellipsis Drive you are still signed in.',

  'amount.second': '1 second | {count} seconds',
  'amount.minute': '1 minute | {count} minutes',
  'amount.hour': '1 hour | {count} hours',
  'amount.day': '1 day | {count} days',
} as const
