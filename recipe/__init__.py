"""The recipe: its tables, limits and complaints."""
