/*
 * settings.h - CONFIG SET takes effect: who is told when an option changes.
 */
#ifndef CAIRN_SERVER_SETTINGS_H
#define CAIRN_SERVER_SETTINGS_H

struct node;
struct config;

/* Registers with the config. Both live as long as the process serves. */
void settings_watch(struct node *n, struct config *c);

#endif
