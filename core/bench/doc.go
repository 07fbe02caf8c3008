// Package bench measures identification over grids of settings and seeds. A suite file (YAML) describes the networks
// to hide, the conditions of the oracle and the settings of the run; every setting is tried with every seed, in
// parallel, and every finished run is kept in a database, so that a suite cut short goes on where it was. What comes out
// is a table of success rates with confidence intervals, of parameter errors against the truth, and of costs.
//
// Whether a run succeeded is decided here, by comparing with the hidden network, and not by what the run says of itself;
// where the two differ, the table says so.
package bench
