CREATE TABLE `admins` (
	`id` text PRIMARY KEY NOT NULL,
	`email` text NOT NULL,
	`password_hash` text NOT NULL,
	`role` text NOT NULL,
	`created_at` integer NOT NULL,
	`second_factor` integer,
	`second_factor_since` integer,
	`second_factor_step` integer,
	`recovery_codes` text DEFAULT '[]' NOT NULL,
	FOREIGN KEY (`second_factor`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `admins_email_unique` ON `admins` (`email`);--> statement-breakpoint
CREATE TABLE `apps` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`confidential` integer NOT NULL,
	`secrets` text NOT NULL,
	`redirect_uris` text NOT NULL,
	`origins` text NOT NULL,
	`trusted` integer NOT NULL,
	`token_lifetime_seconds` integer NOT NULL,
	`deliver` text NOT NULL,
	`tokens` text NOT NULL,
	`created_at` integer NOT NULL,
	`device` integer DEFAULT false NOT NULL,
	`dpop` text DEFAULT 'optional' NOT NULL
);
--> statement-breakpoint
CREATE TABLE `attempts` (
	`key` text PRIMARY KEY NOT NULL,
	`count` integer NOT NULL,
	`until` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `attempts_until` ON `attempts` (`until`);--> statement-breakpoint
CREATE TABLE `bulk_items` (
	`bulk_id` integer NOT NULL,
	`connection_id` text NOT NULL,
	`error` text,
	PRIMARY KEY(`bulk_id`, `connection_id`),
	FOREIGN KEY (`bulk_id`) REFERENCES `bulks`(`id`) ON UPDATE no action ON DELETE no action
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `bulks` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`status` text NOT NULL,
	`filter` text,
	`actor` text NOT NULL,
	`address` text,
	`created_at` integer NOT NULL,
	`started_at` integer,
	`ended_at` integer,
	`total` integer NOT NULL,
	`revoked` integer NOT NULL,
	`skipped` integer NOT NULL,
	`failed` integer NOT NULL,
	`cursor` text,
	`trouble` text,
	`lease_owner` text,
	`lease_until` integer
);
--> statement-breakpoint
CREATE INDEX `bulks_work` ON `bulks` (`id`) WHERE "bulks"."status" in ('collecting', 'running');--> statement-breakpoint
CREATE TABLE `codes` (
	`code_hash` text PRIMARY KEY NOT NULL,
	`app_id` text NOT NULL,
	`redirect_uri` text NOT NULL,
	`challenge` text NOT NULL,
	`connection_id` text NOT NULL,
	`scope` text NOT NULL,
	`device` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`used_at` integer,
	`grant_id` text,
	`jkt` text,
	FOREIGN KEY (`connection_id`) REFERENCES `connections`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `codes_connection` ON `codes` (`connection_id`,`app_id`);--> statement-breakpoint
CREATE INDEX `codes_expiry` ON `codes` (`used_at`,`expires_at`);--> statement-breakpoint
CREATE TABLE `connections` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text,
	`username` text NOT NULL,
	`status` text NOT NULL,
	`generation` integer NOT NULL,
	`refresh_token` integer,
	`previous_refresh_token` integer,
	`access_token` integer,
	`access_token_expires_at` integer,
	`access_token_fetched_at` integer,
	`lease_owner` text,
	`lease_until` integer,
	`failures` integer NOT NULL,
	`last_error` text,
	`retry_at` integer,
	`connected_at` integer NOT NULL,
	`refreshed_at` integer,
	`revoked_at` integer,
	`erased_at` integer,
	`name_key` text DEFAULT '' NOT NULL,
	`last_used_at` integer,
	`person_erased_at` integer,
	`restored_from` integer,
	`stale_reason` text,
	`import_state` text,
	`replaced_by` text,
	`rejections` integer DEFAULT 0 NOT NULL,
	FOREIGN KEY (`refresh_token`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`previous_refresh_token`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`access_token`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `connections_account` ON `connections` (`account_id`) WHERE "connections"."status" <> 'revoked';--> statement-breakpoint
CREATE INDEX `connections_former_account` ON `connections` (`account_id`) WHERE "connections"."status" = 'revoked';--> statement-breakpoint
CREATE INDEX `connections_status` ON `connections` (`status`,`id`);--> statement-breakpoint
CREATE INDEX `connections_leased` ON `connections` (`lease_until`) WHERE "connections"."lease_owner" is not null;--> statement-breakpoint
CREATE INDEX `connections_retry` ON `connections` (`retry_at`) WHERE "connections"."retry_at" is not null and "connections"."failures" < 30 and "connections"."status" <> 'revoked';--> statement-breakpoint
CREATE INDEX `connections_revoked` ON `connections` (`revoked_at`) WHERE "connections"."revoked_at" is not null;--> statement-breakpoint
CREATE INDEX `connections_erasing` ON `connections` (`id`) WHERE "connections"."revoked_at" is not null and "connections"."erased_at" is null;--> statement-breakpoint
CREATE TABLE `device_codes` (
	`device_code_hash` text PRIMARY KEY NOT NULL,
	`user_code_hash` text NOT NULL,
	`app_id` text NOT NULL,
	`scope` text NOT NULL,
	`device` text NOT NULL,
	`address` text NOT NULL,
	`status` text NOT NULL,
	`connection_id` text,
	`interval_seconds` integer NOT NULL,
	`polled_at` integer,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`used_at` integer,
	`grant_id` text,
	FOREIGN KEY (`connection_id`) REFERENCES `connections`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `device_codes_user` ON `device_codes` (`user_code_hash`);--> statement-breakpoint
CREATE INDEX `device_codes_connection` ON `device_codes` (`connection_id`,`app_id`);--> statement-breakpoint
CREATE INDEX `device_codes_expiry` ON `device_codes` (`expires_at`);--> statement-breakpoint
CREATE TABLE `devices` (
	`secret_hash` text PRIMARY KEY NOT NULL,
	`admin_id` text NOT NULL,
	`expires_at` integer NOT NULL,
	FOREIGN KEY (`admin_id`) REFERENCES `admins`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `devices_admin` ON `devices` (`admin_id`);--> statement-breakpoint
CREATE INDEX `devices_expiry` ON `devices` (`expires_at`);--> statement-breakpoint
CREATE TABLE `dpop_proofs` (
	`proof_hash` text PRIMARY KEY NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `dpop_proofs_expiry` ON `dpop_proofs` (`expires_at`);--> statement-breakpoint
CREATE TABLE `events` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at` integer NOT NULL,
	`actor` text NOT NULL,
	`action` text NOT NULL,
	`connection_id` text,
	`app_id` text,
	`grant_id` text,
	`address` text,
	`details` text
);
--> statement-breakpoint
CREATE INDEX `events_connection` ON `events` (`connection_id`,`at`);--> statement-breakpoint
CREATE INDEX `events_app` ON `events` (`app_id`,`at`);--> statement-breakpoint
CREATE INDEX `events_actor` ON `events` (`actor`,`at`) WHERE "events"."actor" not in ('user', 'app', 'system');--> statement-breakpoint
CREATE INDEX `events_action` ON `events` (`action`,`at`) WHERE "events"."action" not in ('connection.connected', 'connection.revoked', 'grant.begun');--> statement-breakpoint
CREATE INDEX `events_at` ON `events` (`at`);--> statement-breakpoint
CREATE TABLE `flows` (
	`state_hash` text PRIMARY KEY NOT NULL,
	`browser_hash` text NOT NULL,
	`verifier` integer NOT NULL,
	`app_id` text NOT NULL,
	`redirect_uri` text NOT NULL,
	`app_state` text,
	`challenge` text,
	`scope` text NOT NULL,
	`reconnect` text,
	`device` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`device_code_hash` text,
	`jkt` text,
	FOREIGN KEY (`verifier`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `flows_expiry` ON `flows` (`expires_at`);--> statement-breakpoint
CREATE TABLE `grants` (
	`id` text PRIMARY KEY NOT NULL,
	`app_id` text NOT NULL,
	`connection_id` text NOT NULL,
	`scope` text NOT NULL,
	`jti` text NOT NULL,
	`issued_at_seconds` integer NOT NULL,
	`expires_at_seconds` integer NOT NULL,
	`jti_used_at` integer,
	`previous_jti` text,
	`device` text NOT NULL,
	`created_at` integer NOT NULL,
	`last_used_at` integer,
	`revoked_at` integer,
	`jkt` text,
	FOREIGN KEY (`connection_id`) REFERENCES `connections`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `grants_connection` ON `grants` (`connection_id`,`app_id`);--> statement-breakpoint
CREATE INDEX `grants_app` ON `grants` (`app_id`,`id`);--> statement-breakpoint
CREATE INDEX `grants_expiry` ON `grants` (`expires_at_seconds`);--> statement-breakpoint
CREATE INDEX `grants_revoked` ON `grants` (`revoked_at`) WHERE "grants"."revoked_at" is not null;--> statement-breakpoint
CREATE TABLE `meta` (
	`key` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `sealed` (
	`id` integer PRIMARY KEY NOT NULL,
	`size` integer NOT NULL,
	`free` integer NOT NULL,
	`bytes` blob NOT NULL
);
--> statement-breakpoint
CREATE INDEX `sealed_free` ON `sealed` (`size`) WHERE "sealed"."free" = 1;--> statement-breakpoint
CREATE TABLE `sessions` (
	`id_hash` text PRIMARY KEY NOT NULL,
	`admin_id` text NOT NULL,
	`created_at` integer NOT NULL,
	`last_seen_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`address` text,
	`user_agent` text,
	`complete` integer DEFAULT true NOT NULL,
	FOREIGN KEY (`admin_id`) REFERENCES `admins`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `sessions_admin` ON `sessions` (`admin_id`);--> statement-breakpoint
CREATE INDEX `sessions_expiry` ON `sessions` (`expires_at`);--> statement-breakpoint
CREATE TABLE `setup_links` (
	`secret_hash` text PRIMARY KEY NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `signing_keys` (
	`kid` text PRIMARY KEY NOT NULL,
	`public_jwk` text NOT NULL,
	`private_key` integer NOT NULL,
	`status` text NOT NULL,
	`created_at` integer NOT NULL,
	`ended_at` integer,
	`erased_at` integer,
	`activated_at` integer,
	`tokens_until` integer,
	FOREIGN KEY (`private_key`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE TABLE `upstream_state` (
	`id` integer PRIMARY KEY NOT NULL,
	`answered_at` integer,
	`failed_at` integer,
	`failing_since` integer,
	`last_error` text
);
--> statement-breakpoint
CREATE TABLE `usage` (
	`app_id` text NOT NULL,
	`hour` integer NOT NULL,
	`kind` text NOT NULL,
	`outcome` text NOT NULL,
	`count` integer NOT NULL,
	PRIMARY KEY(`app_id`, `hour`, `kind`, `outcome`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `usage_hour` ON `usage` (`hour`);
--> statement-breakpoint
-- The index behind the admins' list of connections: derived from `connections` and `grants` by the triggers
-- below, in the same transactions. It can be rebuilt from those tables at any time.
--
-- A connection has one row in `listing` for all apps (app 0) and one for each app with an unrevoked grant.
-- Each sort order is an index prefixed by app and status, so each page is a range of one index. Status: 0 active, 1 needs_reconnect, 2 revoked.
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
-- Numbers take a fifth of the space of ids. An app's number is never reused.
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
-- Search by any three letters of a name (FTS5 trigrams).
CREATE VIRTUAL TABLE `listing_grams` USING fts5(
	`name`, content = 'listing_names', content_rowid = 'n', columnsize = 0, tokenize = 'trigram'
);
--> statement-breakpoint
-- Deleted entries are removed from the index at once instead of being marked as deleted.
INSERT INTO `listing_grams` (`listing_grams`, `rank`) VALUES ('secure-delete', 1);
--> statement-breakpoint
-- The number of rows in `listing` by app and status.
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
