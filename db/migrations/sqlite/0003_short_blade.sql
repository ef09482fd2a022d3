ALTER TABLE `admins` ADD `oidc_issuer` text;--> statement-breakpoint
ALTER TABLE `admins` ADD `oidc_subject` text;--> statement-breakpoint
ALTER TABLE `admins` ADD `oidc_label` text;--> statement-breakpoint
CREATE UNIQUE INDEX `admins_oidc` ON `admins` (`oidc_issuer`,`oidc_subject`);--> statement-breakpoint
ALTER TABLE `sessions` ADD `authenticated_at` integer;--> statement-breakpoint
ALTER TABLE `sessions` ADD `oidc_issuer` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `oidc_subject` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `oidc_sid` text;