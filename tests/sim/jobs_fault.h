/*
 * jobs_fault.h - the fault of a job: which one, at which step, and how it strikes.
 */
#ifndef CAIRN_TESTS_SIM_JOBS_FAULT_H
#define CAIRN_TESTS_SIM_JOBS_FAULT_H

#include "jobs.h"

void jobs_draw_fault(struct jobs *j, struct job *v);

/* Strikes if the job stands where it should, once. */
void jobs_strike(struct jobs *j, struct job *v);

/* The table of what struck, of all histories: rows steps, columns faults; prints it, and true if no cell is empty. */
bool jobs_print_cells(const unsigned cells[JOB_STEPS][JOB_FAULTS]);

#endif
