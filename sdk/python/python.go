// Package python is the part of the SDK for Python that the built-in oracle "python" carries with it. The SDK itself is the
// package nnid_sdk beside this file; nothing else in it is for Go.
package python

import _ "embed"

// Model is the program nnid_sdk/_model.py: it makes any callable or model a function of an array and answers queries on its
// standard input, with the arguments CALL METHOD INPUTS. It needs NumPy alone.
//
//go:embed nnid_sdk/_model.py
var Model string
