/* Between cortex_m.c and a port: the port's interrupts, and what the port calls first. PORT_INTERRUPTS and
 * PORT_RECEIVE_INTERRUPT come from the command line of the build (rig/firmware.py's table), and PORT_SEND_INTERRUPT where
 * sending has one of its own. */
#ifndef EDGED_CORTEX_M_H
#define EDGED_CORTEX_M_H

#include <stdbool.h>
#include <stdint.h>

void cortex_m_start(bool watched); /* boot count, reset cause (was it a watchdog that gives no NMI?), tick counter */
void cortex_m_sent(void);      /* the port's send interrupt calls it: the UART takes another byte */
void port_receive(void);       /* the UART's receive interrupt */
void port_sent(void);          /* its send interrupt, where that is another one */
bool port_send(uint8_t byte);  /* to the UART; false while it is full */
void port_sending(bool wanted); /* lets the send interrupt come, or holds it back */

#endif
