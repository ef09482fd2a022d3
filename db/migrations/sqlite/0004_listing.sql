-- What admins look through: derived from `connections` and `grants`, and kept by the triggers below within
-- the very transactions that change those, whoever writes. Nothing here can't be made anew from them.
--
-- A connection is in `listing` once for everybody (app 0) and once for each app that it has an unrevoked
-- grant of; each sort is an index behind app and status. So every page of every filter in every order is
-- a range of one index, however rare what it looks for. Status: 0 active, 1 needs_reconnect, 2 revoked.
CREATE TABLE `listing` (
	`n` integer NOT NULL,
	`app` integer NOT NULL,
	`status` integer NOT NULL,
	`name` text NOT NULL,
	`connected_at` integer NOT NULL,
	`last_used_at` integer NOT NULL,
	`access_token_expires_at` integer NOT NULL,
	PRIMARY KEY (`n`, `app`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `listing_name` ON `listing` (`app`, `status`, `name`, `n`);
--> statement-breakpoint
CREATE INDEX `listing_connected_at` ON `listing` (`app`, `status`, `connected_at`, `n`);
--> statement-breakpoint
CREATE INDEX `listing_last_used_at` ON `listing` (`app`, `status`, `last_used_at`, `n`);
--> statement-breakpoint
CREATE INDEX `listing_access_token_expires_at` ON `listing` (`app`, `status`, `access_token_expires_at`, `n`);
--> statement-breakpoint
-- Numbers take a fifth of the room of ids. An app's is never given again.
CREATE TABLE `listing_apps` (
	`n` integer PRIMARY KEY AUTOINCREMENT,
	`app_id` text NOT NULL UNIQUE
);
--> statement-breakpoint
CREATE TABLE `listing_names` (
	`n` integer PRIMARY KEY,
	`connection_id` text NOT NULL UNIQUE,
	`name` text NOT NULL
);
--> statement-breakpoint
-- Any three letters of a name (FTS5's trigrams).
CREATE VIRTUAL TABLE `listing_grams` USING fts5(
	`name`, content = 'listing_names', content_rowid = 'n', columnsize = 0, tokenize = 'trigram'
);
--> statement-breakpoint
-- What leaves the index is removed from it at once, rather than marked as gone.
INSERT INTO `listing_grams` (`listing_grams`, `rank`) VALUES ('secure-delete', 1);
--> statement-breakpoint
-- How many rows of `listing` there are of an app and a status.
CREATE TABLE `listing_totals` (
	`app` integer NOT NULL,
	`status` integer NOT NULL,
	`rows` integer NOT NULL,
	PRIMARY KEY (`app`, `status`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TRIGGER `listing_added` AFTER INSERT ON `listing` BEGIN
	INSERT INTO `listing_totals` VALUES (new.`app`, new.`status`, 1)
		ON CONFLICT DO UPDATE SET `rows` = `rows` + 1;
END;
--> statement-breakpoint
CREATE TRIGGER `listing_removed` AFTER DELETE ON `listing` BEGIN
	UPDATE `listing_totals` SET `rows` = `rows` - 1 WHERE `app` = old.`app` AND `status` = old.`status`;
END;
--> statement-breakpoint
CREATE TRIGGER `listing_changed` AFTER UPDATE OF `status` ON `listing` BEGIN
	UPDATE `listing_totals` SET `rows` = `rows` - 1 WHERE `app` = old.`app` AND `status` = old.`status`;
	INSERT INTO `listing_totals` VALUES (new.`app`, new.`status`, 1)
		ON CONFLICT DO UPDATE SET `rows` = `rows` + 1;
END;
--> statement-breakpoint
CREATE TRIGGER `listing_name_added` AFTER INSERT ON `listing_names` BEGIN
	INSERT INTO `listing_grams` (`rowid`, `name`) VALUES (new.`n`, new.`name`);
END;
--> statement-breakpoint
CREATE TRIGGER `listing_name_changed` AFTER UPDATE OF `name` ON `listing_names` BEGIN
	INSERT INTO `listing_grams` (`listing_grams`, `rowid`, `name`) VALUES ('delete', old.`n`, old.`name`);
	INSERT INTO `listing_grams` (`rowid`, `name`) VALUES (new.`n`, new.`name`);
END;
--> statement-breakpoint
CREATE TRIGGER `listing_name_removed` AFTER DELETE ON `listing_names` BEGIN
	INSERT INTO `listing_grams` (`listing_grams`, `rowid`, `name`) VALUES ('delete', old.`n`, old.`name`);
END;
--> statement-breakpoint
CREATE TRIGGER `connections_listed` AFTER INSERT ON `connections` BEGIN
	INSERT INTO `listing_names` (`connection_id`, `name`) VALUES (new.`id`, new.`name_key`);
	INSERT INTO `listing` SELECT `n`, 0, CASE new.`status` WHEN 'active' THEN 0 WHEN 'needs_reconnect' THEN 1 ELSE 2 END,
		new.`name_key`, new.`connected_at`, coalesce(new.`last_used_at`, 0), coalesce(new.`access_token_expires_at`, 0)
		FROM `listing_names` WHERE `connection_id` = new.`id`;
END;
--> statement-breakpoint
CREATE TRIGGER `connections_unlisted` AFTER DELETE ON `connections` BEGIN
	DELETE FROM `listing` WHERE `n` = (SELECT `n` FROM `listing_names` WHERE `connection_id` = old.`id`);
	DELETE FROM `listing_names` WHERE `connection_id` = old.`id`;
END;
--> statement-breakpoint
CREATE TRIGGER `connections_renamed` AFTER UPDATE OF `name_key` ON `connections` WHEN new.`name_key` IS NOT old.`name_key` BEGIN
	UPDATE `listing_names` SET `name` = new.`name_key` WHERE `connection_id` = new.`id`;
	UPDATE `listing` SET `name` = new.`name_key` WHERE `n` = (SELECT `n` FROM `listing_names` WHERE `connection_id` = new.`id`);
END;
--> statement-breakpoint
CREATE TRIGGER `connections_status_changed` AFTER UPDATE OF `status` ON `connections` WHEN new.`status` IS NOT old.`status` BEGIN
	UPDATE `listing` SET `status` = CASE new.`status` WHEN 'active' THEN 0 WHEN 'needs_reconnect' THEN 1 ELSE 2 END WHERE `n` = (SELECT `n` FROM `listing_names` WHERE `connection_id` = new.`id`);
END;
--> statement-breakpoint
CREATE TRIGGER `connections_connected_again` AFTER UPDATE OF `connected_at` ON `connections` WHEN new.`connected_at` IS NOT old.`connected_at` BEGIN
	UPDATE `listing` SET `connected_at` = new.`connected_at` WHERE `n` = (SELECT `n` FROM `listing_names` WHERE `connection_id` = new.`id`);
END;
--> statement-breakpoint
CREATE TRIGGER `connections_used` AFTER UPDATE OF `last_used_at` ON `connections` WHEN new.`last_used_at` IS NOT old.`last_used_at` BEGIN
	UPDATE `listing` SET `last_used_at` = coalesce(new.`last_used_at`, 0) WHERE `n` = (SELECT `n` FROM `listing_names` WHERE `connection_id` = new.`id`);
END;
--> statement-breakpoint
CREATE TRIGGER `connections_refreshed` AFTER UPDATE OF `access_token_expires_at` ON `connections` WHEN new.`access_token_expires_at` IS NOT old.`access_token_expires_at` BEGIN
	UPDATE `listing` SET `access_token_expires_at` = coalesce(new.`access_token_expires_at`, 0) WHERE `n` = (SELECT `n` FROM `listing_names` WHERE `connection_id` = new.`id`);
END;
--> statement-breakpoint
CREATE TRIGGER `grants_listed` AFTER INSERT ON `grants` WHEN new.`revoked_at` IS NULL BEGIN
	INSERT INTO `listing_apps` (`app_id`) SELECT new.`app_id`
		WHERE NOT EXISTS (SELECT 1 FROM `listing_apps` WHERE `app_id` = new.`app_id`);
	INSERT INTO `listing`
		SELECT `n`, (SELECT `n` FROM `listing_apps` WHERE `app_id` = new.`app_id`), `status`, `name`, `connected_at`,
			`last_used_at`, `access_token_expires_at`
		FROM `listing` WHERE `n` = (SELECT `n` FROM `listing_names` WHERE `connection_id` = new.`connection_id`) AND `app` = 0
		ON CONFLICT DO NOTHING;
END;
--> statement-breakpoint
CREATE TRIGGER `grants_revoked` AFTER UPDATE OF `revoked_at` ON `grants`
	WHEN old.`revoked_at` IS NULL AND new.`revoked_at` IS NOT NULL BEGIN
	DELETE FROM `listing`
		WHERE `n` = (SELECT `n` FROM `listing_names` WHERE `connection_id` = old.`connection_id`)
			AND `app` = (SELECT `n` FROM `listing_apps` WHERE `app_id` = old.`app_id`)
			AND NOT EXISTS (SELECT 1 FROM `grants` WHERE `connection_id` = old.`connection_id`
				AND `app_id` = old.`app_id` AND `revoked_at` IS NULL);
END;
--> statement-breakpoint
CREATE TRIGGER `grants_removed` AFTER DELETE ON `grants` WHEN old.`revoked_at` IS NULL BEGIN
	DELETE FROM `listing`
		WHERE `n` = (SELECT `n` FROM `listing_names` WHERE `connection_id` = old.`connection_id`)
			AND `app` = (SELECT `n` FROM `listing_apps` WHERE `app_id` = old.`app_id`)
			AND NOT EXISTS (SELECT 1 FROM `grants` WHERE `connection_id` = old.`connection_id`
				AND `app_id` = old.`app_id` AND `revoked_at` IS NULL);
END;
--> statement-breakpoint
-- What is there already; `fold` is db/fold.ts.
UPDATE `connections` SET `name_key` = fold(`username`),
	`last_used_at` = (SELECT max(`last_used_at`) FROM `grants` WHERE `connection_id` = `connections`.`id`);
--> statement-breakpoint
INSERT INTO `listing_apps` (`app_id`) SELECT DISTINCT `app_id` FROM `grants` WHERE `revoked_at` IS NULL;
--> statement-breakpoint
INSERT INTO `listing_names` (`connection_id`, `name`) SELECT `id`, `name_key` FROM `connections`;
--> statement-breakpoint
INSERT INTO `listing` SELECT `n`, 0, CASE connections.`status` WHEN 'active' THEN 0 WHEN 'needs_reconnect' THEN 1 ELSE 2 END, `name`,
	`connected_at`, coalesce(`last_used_at`, 0), coalesce(`access_token_expires_at`, 0)
	FROM `connections` JOIN `listing_names` ON `connection_id` = `id`;
--> statement-breakpoint
INSERT INTO `listing` SELECT DISTINCT `listing`.`n`, `listing_apps`.`n`, `listing`.`status`, `listing`.`name`,
	`connected_at`, `listing`.`last_used_at`, `access_token_expires_at`
	FROM `grants` JOIN `listing_apps` USING (`app_id`) JOIN `listing_names` USING (`connection_id`)
	JOIN `listing` ON `listing`.`n` = `listing_names`.`n` AND `listing`.`app` = 0
	WHERE `revoked_at` IS NULL;
