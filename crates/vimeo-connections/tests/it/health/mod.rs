mod background;
mod checks;
mod filters;
mod uploads;
mod when_reachable;
