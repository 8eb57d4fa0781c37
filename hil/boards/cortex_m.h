/* Between cortex_m.c and a port: the port's interrupts, and what the port calls first. PORT_INTERRUPTS and
 * PORT_RECEIVE_INTERRUPT come from the command line of the build (boards.py's table). */
#ifndef EDGED_CORTEX_M_H
#define EDGED_CORTEX_M_H

void cortex_m_start(void); /* boot count, reset cause, tick counter */
void port_receive(void);   /* the UART's receive interrupt */

#endif
