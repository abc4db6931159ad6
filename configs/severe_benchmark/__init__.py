"""The SEVERE benchmark (chapter 4 of the thesis): its jobs, its report and the numbers that were published."""
