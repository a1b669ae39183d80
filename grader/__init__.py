"""The grader of the torch katas: finds katas, runs their specs against any code, and says what came out."""
