import type { Translation } from './translation.ts'

/** French; addresses the reader as `vous`. */
export const fr: Translation = {
  texts: {
    'consent.title': 'Connecter {app}',
    'consent.identity': '{app} demande qui vous êtes sur Ellipsis Drive',
    'consent.use': '{app} demande à utiliser votre Ellipsis Drive',
    'consent.view': '{app} demande à consulter votre Ellipsis Drive',
    'consent.lasts':
      'L’accès dure jusqu’à ce que vous, l’application ou l’exploitant de ce broker le révoquiez.',
    'consent.lastsAtMost':
      'L’accès dure jusqu’à ce que vous, l’application ou l’exploitant de ce broker le révoquiez, mais au plus {duration}.',
    'consent.revoke': 'Vous pouvez le révoquer à tout moment : [Vos connexions]({url}).',
    'consent.returns': 'Ensuite, vous reviendrez à *{place}*.',
    'consent.appAt': 'l’application à l’adresse {scheme}',
    'consent.fragment':
      '*Attention :* cette application reçoit son jeton d’accès dans l’URL de sa page, que votre navigateur garde dans son historique.',
    'consent.continue': 'Continuer vers Ellipsis Drive',
    'consent.deny': 'Refuser',
    'consent.unknownApp':
      'Si vous ne venez pas de cette application, ou ne la connaissez pas, choisissez « Refuser ».',
    'consent.policyChanged':
      'Ce que cette application peut faire a changé depuis l’ouverture de cette page. Relisez-la, puis décidez.',

    'scope.intro':
      'Si vous continuez, vous vous connectez à Ellipsis Drive. En votre nom, cette application :',
    'scope.name': 'voit votre nom sur Ellipsis Drive',
    'scope.recognize': 'peut reconnaître votre compte, mais n’en voit pas le nom',
    'scope.nothing':
      'ne peut ni consulter, ni ajouter, ni modifier, ni supprimer vos cartes, couches et fichiers',
    'scope.view': 'peut consulter vos cartes, couches et fichiers',
    'scope.change': 'peut en ajouter, les modifier et les supprimer',
    'scope.noChange': 'ne peut rien ajouter, modifier ni supprimer',
    'scope.viewParts': 'peut consulter des parties de votre Ellipsis Drive',
    'scope.noView': 'ne peut pas consulter vos cartes, couches et fichiers',
    'scope.someChanges':
      'peut effectuer certaines modifications, qui peuvent ajouter, changer ou supprimer des données',
    'scope.rules': 'peut seulement envoyer ces requêtes à Ellipsis Drive',
    'scope.rulesHint':
      'GET lit. Les autres méthodes peuvent modifier quelque chose ; un `*` seul désigne toute méthode. Dans un chemin, `*` désigne une partie quelconque, et `**` tout ce qui se trouve en dessous.',
    'scope.offline': 'peut le faire à tout moment, même quand vous ne l’utilisez pas',
    'scope.proxy': 'ne peut accéder à votre drive que via ce broker',
    'scope.noSecurity': 'ne peut pas changer votre mot de passe ni d’autres paramètres de sécurité',

    'device.title': 'Connecter un appareil',
    'device.identity': '{app} demande, sur un autre appareil, qui vous êtes sur Ellipsis Drive',
    'device.use': '{app} demande à utiliser votre Ellipsis Drive sur un autre appareil',
    'device.view': '{app} demande à consulter votre Ellipsis Drive sur un autre appareil',
    'device.onlyYou':
      '*Continuez seulement si vous êtes à l’origine de cette demande* et si votre appareil affiche le code `{code}`. Si quelqu’un vous a envoyé le code ou un lien, choisissez « Refuser » : cette personne pourrait accéder à votre Ellipsis Drive.',
    'device.requested': 'Demandé {time}, depuis l’adresse IP {address} : {device}.',
    'device.justNow': 'à l’instant',
    'device.check':
      'Vérifiez que votre appareil affiche exactement ce code. S’il affiche un autre code ou aucun, fermez cette page.',
    'device.enter': 'Saisissez le code que votre appareil affiche.',
    'device.code': 'Code',
    'device.continue': 'Continuer',
    'device.sent':
      'Si quelqu’un vous a envoyé ce code ou un lien vers cette page, fermez la page : cette personne pourrait accéder à votre Ellipsis Drive.',
    'device.wrongCode':
      'Ce code est incorrect ou a expiré. Vérifiez-le, ou obtenez-en un nouveau sur l’appareil.',

    'connected.title': 'Connexion établie',
    'connected.account': 'Le compte Ellipsis Drive *{username}* est connecté à *{app}*.',
    'connected.yours': 'Votre compte Ellipsis Drive est connecté à *{app}*.',
    'connected.device':
      'Retournez à votre appareil. Il continue automatiquement en quelques secondes. Vous pouvez fermer cette fenêtre.',
    'connected.manage':
      'Voyez quelles applications sont connectées, et déconnectez-les : [Vos connexions]({url}).',
    'refused.title': 'Rien n’a été connecté',
    'refused.denied':
      'Vous avez refusé l’accès : *{app}* ne peut donc pas utiliser votre Ellipsis Drive.',
    'refused.device': 'Votre appareil l’affiche aussi. Vous pouvez fermer cette fenêtre.',
    'final.back': 'Retour à {app}',
    'final.alsoClose': 'Vous pouvez aussi fermer cette fenêtre.',
    'final.close': 'Vous pouvez fermer cette fenêtre.',

    'account.title': 'Quel compte voulez-vous connecter ?',
    'account.question':
      '*{app}* demande le compte Ellipsis Drive *{expected}*. Vous avez utilisé *{actual}*. Rien n’est encore connecté.',
    'account.signOut':
      'Pour utiliser un autre compte, [déconnectez-vous d’abord d’Ellipsis Drive]({url}). Sinon, Ellipsis Drive pourrait choisir à nouveau {actual}.',
    'account.signOutInTab':
      'Pour utiliser un autre compte, déconnectez-vous d’abord d’Ellipsis Drive dans un autre onglet. Sinon, Ellipsis Drive pourrait choisir à nouveau {actual}.',
    'account.restart': 'Utiliser un autre compte',
    'account.continue': 'Continuer en tant que {actual}',
    'account.neither': 'Pour ne connecter aucun des deux, fermez cette fenêtre.',

    'error.title': 'Un problème est survenu',
    'error.sent': '{app} a envoyé cette adresse :',
    'error.repeats':
      'Si cela se répète, contactez l’exploitant de ce broker et indiquez `{code}`, `{request}`.',
    'error.repeatsContact':
      'Si cela se répète, contactez l’exploitant de ce broker ({contact}) et indiquez `{code}`, `{request}`.',
    'error.incompleteLink':
      'Le lien qui vous a amené ici ne fonctionne pas. Retournez à l’application et réessayez. Si cela se répète, prévenez le développeur de l’application.',
    'error.unreadable':
      'Le broker n’a pas pu lire cette requête. Revenez en arrière, rechargez la page et réessayez.',
    'error.tooMany': 'Trop de tentatives ont échoué. Attendez {duration}, puis réessayez.',
    'error.busy': 'Ellipsis Drive ou ce broker est surchargé. Attendez {duration}, puis réessayez.',
    'error.broken': 'Ce broker a lui-même un problème. Revenez en arrière et réessayez plus tard.',
    'form.expired':
      'Ce formulaire avait expiré : rien n’a donc été modifié. Vérifiez-le et envoyez-le à nouveau.',
    'missing.title': 'Page introuvable',
    'missing.text':
      'Il n’y a pas de page à cette adresse. Si une application vous a envoyé ici, retournez à l’application.',
    'onlyForms.title': 'Cette adresse n’a pas de page',
    'onlyForms.text':
      'Seuls les formulaires et les applications utilisent cette adresse. Retournez à la page ou à l’application d’où vous venez.',

    'operator.name': 'Ce broker est exploité par {name}.',
    'operator.questions': 'Des questions ?',
    'operator.privacy': 'Politique de confidentialité',

    'home.text':
      'Les applications viennent ici pour se connecter à Ellipsis Drive en votre nom. Si vous venez d’une application, retournez-y pour vous connecter.',
    'home.me':
      'Voyez quelles applications utilisent votre Ellipsis Drive, et déconnectez-les : [Vos connexions]({url})',
    'home.admin': 'Pour les exploitants de ce broker : [Tableau de bord]({url})',
    'home.docs': 'Pour les développeurs d’applications : [Référence de l’API]({url})',

    'me.title': 'Vos connexions',
    'me.intro':
      'Voyez quelles applications utilisent votre Ellipsis Drive via ce broker. Déconnectez-les, ou téléchargez ou effacez ce qui est enregistré sur vous.',
    'me.how':
      'Vous vous connectez à Ellipsis Drive, afin que ce broker sache quelles connexions afficher. Cela ne connecte aucune application.',
    'me.expired':
      'Votre session avait expiré : rien n’a donc été modifié. Connectez-vous à nouveau.',
    'me.denied':
      'Vous avez refusé l’accès : ce broker ne sait donc pas quelles connexions afficher.',
    'me.failed': 'La session n’a pas pu être ouverte. Réessayez dans quelques minutes.',
    'me.signedIn': 'Session ouverte en tant que *{name}*. Elle se ferme après 15 minutes.',
    'me.thisBrowser':
      'Ellipsis Drive n’indique pas à ce broker de quel compte il s’agit. Cette page montre donc seulement ce qui a été connecté dans ce navigateur.',
    'me.signOut': 'Fermer la session',
    'me.none': 'Aucune application n’utilise votre Ellipsis Drive via ce broker.',
    'me.former':
      'Des données de connexions antérieures sont encore enregistrées, pendant 30 jours au plus.',
    'me.needsReconnect':
      'Ellipsis Drive n’accepte plus cette connexion : ses applications n’ont donc plus accès. Ouvrir une session ici n’y change rien : pour utiliser à nouveau une application, reconnectez-la.',
    'me.reconnect': 'Reconnecter {app}',
    'me.removedApp': 'Application supprimée',
    'me.offline': '*Fonctionne sans vous :* elle peut utiliser votre Ellipsis Drive à tout moment.',
    'me.here': 'ce navigateur',
    'me.server': 'Le serveur de l’application',
    'me.anyDevice': 'Un appareil',
    'me.unknownBrowser': 'Navigateur inconnu',
    'me.onSystem': '{browser} sous {system}',
    'me.connected': 'Connecté {time}',
    'me.connectedFrom': 'Connecté {time}, depuis l’adresse IP {address}',
    'me.used': 'Dernière utilisation {time}',
    'me.unused': 'Pas encore utilisé',
    'me.ends': 'L’accès prend fin {time}, sauf si l’application le prolonge',
    'me.links': 'Liens',
    'me.linksAbout':
      'Toute personne qui possède une telle URL peut consulter cette partie de votre drive.',
    'me.linkEnds': 'Expire {time}',
    'me.disconnect': 'Déconnecter',
    'me.disconnectName': 'Déconnecter {name}',
    'me.revoke': 'Révoquer',
    'me.revokeName': 'Révoquer le lien {name}',
    'me.everything': 'Tout',
    'me.disconnectAll': 'Tout déconnecter',
    'me.download': 'Télécharger ce qui est enregistré (JSON)',
    'me.erase': 'Effacer ce qui est enregistré',
    'me.tokens':
      'Les jetons d’accès que des applications possèdent déjà ne peuvent pas être révoqués auprès d’Ellipsis Drive. Ils expirent d’eux-mêmes, le dernier {time}.',
    'me.cancel': 'Annuler',
    'me.askDevice': 'Déconnecter {device} ?',
    'me.askDeviceText':
      '{app} n’a plus accès sur cet appareil. Les autres appareils et applications continuent de fonctionner.',
    'me.askApp': 'Déconnecter {app} ?',
    'me.askAppText':
      '{app} n’a plus accès à votre Ellipsis Drive sur aucun appareil, et ses liens ne fonctionnent plus. Les autres applications continuent de fonctionner.',
    'me.askLink': 'Révoquer ce lien ?',
    'me.askLinkText': 'L’URL de {link} ne fonctionnera plus.',
    'me.askAll': 'Tout déconnecter ?',
    'me.askAllText':
      'Toutes les applications perdent l’accès sur tous les appareils, tous les liens cessent de fonctionner, et les jetons que ce broker conserve sont supprimés.',
    'me.askErase': 'Effacer ce qui est enregistré sur vous ?',
    'me.askEraseText':
      'Toutes les applications perdent l’accès. Votre nom, votre compte Ellipsis Drive, les noms de vos appareils, vos liens et adresses IP sont supprimés de ce broker. Cette action est irréversible.',
    'me.askEraseKept':
      'Un identifiant aléatoire, les noms des applications, des dates et les actions des administrateurs sont conservés quelque temps, sans votre nom. Les sauvegardes antérieures contiennent tout jusqu’à leur suppression.',
    'me.again': 'Vous pourrez vous reconnecter plus tard.',
    'me.doneDevice': 'L’appareil est déconnecté.',
    'me.doneApp': 'L’application est déconnectée.',
    'me.doneLink': 'Le lien est révoqué.',
    'me.doneAll': 'Tout est déconnecté.',
    'me.doneErase': 'Ce qui était enregistré sur vous est effacé.',
    'me.doneAlready': 'C’était déjà déconnecté.',
    'me.doneSignOut':
      'Votre session ici est fermée. Sur Ellipsis Drive, vous êtes toujours connecté.',

    'amount.second': '1\u00a0seconde | {count}\u00a0secondes',
    'amount.minute': '1\u00a0minute | {count}\u00a0minutes',
    'amount.hour': '1\u00a0heure | {count}\u00a0heures',
    'amount.day': '1\u00a0jour | {count}\u00a0jours',
  },
  errors: {
    flow_unknown:
      'Cette tentative de connexion a expiré, est déjà terminée ou a commencé dans un autre navigateur. Retournez à l’application et connectez-vous à nouveau.',
    state_missing:
      'La redirection d’Ellipsis Drive est incomplète. Retournez à l’application et connectez-vous à nouveau.',
    app_removed:
      'Cette application a été supprimée de ce broker. Demandez au développeur de l’application quoi utiliser à la place.',
    redirect_uri_removed:
      'Cette application a supprimé l’adresse où vous deviez revenir. Retournez à l’application et connectez-vous à nouveau.',
    access_policy_changed:
      'Ce que cette application peut faire a changé depuis que votre accord a été demandé. Retournez à l’application et connectez-vous à nouveau.',
    device_code_expired:
      'Le code de votre appareil a expiré. Recommencez sur l’appareil et saisissez le nouveau code.',
    pushed_request_used:
      'Cette tentative de connexion a déjà été utilisée. Retournez à l’application et connectez-vous à nouveau.',
    other_account:
      'Sur Ellipsis Drive, vous avez utilisé un autre compte que celui que l’application a demandé.',
    upstream_sent_no_code:
      'Ellipsis Drive n’a pas envoyé de réponse. Retournez à l’application et réessayez plus tard ; si cela se répète, prévenez l’exploitant de ce broker.',
    upstream_unavailable:
      'Ellipsis Drive est surchargé ou indisponible. Retournez à l’application et connectez-vous à nouveau dans quelques minutes.',
    upstream_error:
      'Ellipsis Drive n’a pas pu terminer l’autorisation. Retournez à l’application et réessayez plus tard ; si cela se répète, prévenez l’exploitant de ce broker.',
    upstream_refused_code:
      'Ellipsis Drive n’a pas accepté le code qu’il a envoyé. Retournez à l’application et connectez-vous à nouveau ; si cela se répète, prévenez l’exploitant de ce broker.',
    own_client_refused:
      'Ellipsis Drive n’accepte pas les identifiants de ce broker. Prévenez l’exploitant de ce broker.',
    session_option_changed:
      'L’exploitant a modifié cette application pendant que vous vous connectiez. Connectez-vous à nouveau.',
    account_unknown:
      'Ellipsis Drive n’indique pas de quel compte il s’agit : un lien seul ne suffit donc pas pour le connecter. Connectez-vous depuis l’application.',
    upstream_sent_no_refresh_token:
      'Ellipsis Drive n’a pas envoyé ce qu’il faut pour conserver la connexion. Connectez-vous à nouveau plus tard ; si cela se répète, prévenez l’exploitant de ce broker.',
    form_expired:
      'Ce formulaire a expiré : rien n’a donc été modifié. Revenez en arrière, rechargez la page et réessayez.',
    form_of_another_site:
      'Ce formulaire a été envoyé depuis un autre site. Retournez à l’application et connectez-vous à nouveau.',
    embedded:
      'Ouvrez cette page dans son propre onglet : elle ne peut pas être intégrée dans une autre page.',
    unknown_client:
      'L’application qui vous a envoyé ici n’est pas enregistrée auprès de ce broker. Retournez à l’application et prévenez son développeur.',
    redirect_uri_mismatch:
      'L’application a demandé au broker de vous envoyer à une adresse qui n’est pas enregistrée pour elle. Retournez à l’application et prévenez son développeur.',
    prompt_none:
      'Vous devez donner votre accord vous-même, mais l’application a demandé de sauter cette étape. Retournez à l’application et connectez-vous à nouveau.',
  },
}
