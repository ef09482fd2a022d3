ALTER TABLE `codes` ADD `browser_hash` text;--> statement-breakpoint
ALTER TABLE `grants` ADD `browser_hash` text;--> statement-breakpoint
-- Written by hand. Status 3 of `listing`: ended by an import (refused, or a duplicate). No list, search or count has it.
DROP TRIGGER `connections_status_changed`;
--> statement-breakpoint
CREATE TRIGGER `connections_status_changed` AFTER UPDATE OF `status`, `import_state`, `replaced_by` ON `connections`
	WHEN new.`status` IS NOT old.`status` OR new.`import_state` IS NOT old.`import_state` OR new.`replaced_by` IS NOT old.`replaced_by` BEGIN
	UPDATE `listing` SET `status` = CASE new.`status` WHEN 'active' THEN 0 WHEN 'needs_reconnect' THEN 1
		ELSE CASE WHEN new.`import_state` = 'rejected' OR new.`replaced_by` IS NOT NULL THEN 3 ELSE 2 END END
		WHERE `n` = (SELECT `n` FROM `listing_names` WHERE `connection_id` = new.`id`);
END;
--> statement-breakpoint
UPDATE `listing` SET `status` = 3 WHERE `n` IN (SELECT `n` FROM `listing_names` JOIN `connections` ON `id` = `connection_id`
	WHERE `connections`.`status` = 'revoked' AND (`import_state` = 'rejected' OR `replaced_by` IS NOT NULL));
